"""What is said before a model is downloaded: how large it is, what memory it takes, how fast it can be here."""

from typing import TYPE_CHECKING

from ponder.cli.terminal.printer import note

if TYPE_CHECKING:
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
    from ponder.engine.scheduling.memory import free_memory
    from ponder.kernels.cpu import read_bandwidth
    from ponder.model.capacity import Machine, estimate, released

    shape, free = released(name), free_memory()
    if shape is None or not free:
        return ""
    context = min(CONTEXT, shape.config.native_context)
    plan = estimate(shape, Machine("CPU", free, read_bandwidth()), "auto", "auto", context=context, streams=1)
    room = "" if plan.fits else f", more than the {amount(free)} that are free"
    rate = f"{plan.rate:.0f}" if plan.rate >= 10 else f"{plan.rate:.1f}"
    return f"; takes {amount(plan.needed)} of memory{room}; at most {rate} tokens a second on this machine"
