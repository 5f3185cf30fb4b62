"""What is said before a model is downloaded: how large it is, what memory it takes, how fast it can be here."""

from typing import TYPE_CHECKING

from ponder.cli.terminal.printer import note

if TYPE_CHECKING:
    from ponder.model.capacity import Capacity, Machine
    from ponder.model.hub.registry import ModelName

CONTEXT = 4096  # tokens of a usual conversation


def announce(name: "ModelName", nbytes: int) -> None:
    """Of a model whose shape is not known only the size."""
    from ponder.cli.terminal.progress import amount

    place = f" from {name.repository}" if name.repository else ""
    note(f"{name.text}: {amount(nbytes)} to download{place}{expected(name.text)}")


def expected(name: str) -> str:
    """What it takes and gives here, by its shape, free memory and the measured bandwidth; "" for an unknown shape."""
    from ponder.cli.terminal.progress import amount
    from ponder.model.capacity import released

    here = this_machine() if released(name) is not None else None
    plan = None if here is None else shape_plan(name, here, "auto")
    if here is None or plan is None:
        return ""
    room = "" if plan.fits else f", more than the {amount(here.memory)} that are free"
    return f"; takes {amount(plan.needed)} of memory{room}; at most {speed(plan)} tokens a second on this machine"


def this_machine(*, quick: bool = False) -> "Machine | None":
    """None where the system does not tell its free memory. quick: a tenth of the reading, for a rough number."""
    from ponder.engine.scheduling.memory import free_memory
    from ponder.kernels.cpu import read_bandwidth
    from ponder.model.capacity import Machine

    free = free_memory()
    return Machine("CPU", free, read_bandwidth(128 << 20, 3) if quick else read_bandwidth()) if free else None


def shape_plan(name: str, here: "Machine", dtype: str, context: int = CONTEXT) -> "Capacity | None":
    """One conversation with a model of a known shape; None for another."""
    from ponder.model.capacity import estimate, released

    shape = released(name)
    if shape is None:
        return None
    return estimate(shape, here, dtype, "auto", context=min(context, shape.config.native_context), streams=1, name=name)


def speed(plan: "Capacity") -> str:
    return f"{plan.rate:.0f}" if plan.rate >= 10 else f"{plan.rate:.1f}"
