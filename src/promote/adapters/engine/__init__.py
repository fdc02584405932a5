"""Has a TensorRT plan built by ``trtexec`` on the host that will serve it, and reads back what came out.

Not here: what it is told and what its words mean (``core.engine_recipe``, ``engine_place``, ``engine_log``, ``engine_answers``).
"""
