"""promote: an MLflow run becomes a model served by NVIDIA Triton, or a reason why not.

The rooms, from the top: ``cli`` speaks, ``wiring`` chooses, ``pipeline`` tells the story, ``adapters`` touch the
world, ``ports`` says what the story needs of it, ``core`` decides, ``errors`` names what can go wrong.
"""

__version__ = "0.1.0"
