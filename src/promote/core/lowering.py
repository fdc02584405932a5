"""The plan of a variant of lower precision, made from an export's own. Pure.

Not here: the export's own plan (``plan``), and which variant a host gets (``ranking``).
"""

from dataclasses import replace

from promote.core.stages import Candidate, ExportPlan
from promote.core.variants import LOWER
from promote.errors import InputError

NOT_MEASURED = "not measured: the run logged no evaluation samples"
ROUNDED = "fp32 arithmetic, every result rounded to bf16: the ONNX Runtime here has no bf16 kernels"


def lower_plan(plan: ExportPlan, precision: str) -> ExportPlan:
    """The same plan in another precision; ``precision`` is one of ``LOWER``."""
    how = f"precision {precision}: the fp32 export converted, inputs and outputs as they were"
    return replace(plan, precision=precision, reasons=(*plan.reasons, how), ruled_out=())


def require_lower(precisions: tuple[str, ...], plan: ExportPlan, candidate: Candidate) -> None:
    """Passes where these variants can be made of the run's model.

    Raises:
        InputError: the model's own precision is not fp32, or a variant is asked for that is none.
    """
    unknown = [precision for precision in precisions if precision not in LOWER]
    if unknown:
        raise InputError(f"--variant {unknown[0]}: expected one of {', '.join(LOWER)}")
    if precisions and plan.precision != "fp32":
        raise InputError(
            f"--variant {precisions[0]}: the weights of run {candidate.run.run_id} are {plan.precision}, expected fp32",
            hint="variants of lower precision are made of fp32: leave --variant out, or log the run again after model.float()",
        )


__all__ = ["NOT_MEASURED", "ROUNDED", "lower_plan", "require_lower"]
