"""What ``hppnet bench offline`` prints about many recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def batches(figures: dict[str, Any]) -> Table:
    """Times real time of each part alone, by the batch size where that matters, and of the whole."""
    from rich import box
    from rich.table import Table

    table = Table(title="many recordings, × real time", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column(justify="right")
    table.add_column()
    for size, rate in figures["network_x_realtime"].items():
        chosen = "chosen" if int(size) == figures["batch"] else ""
        table.add_row(f"network, {size} at once", f"{rate:.0f} ×", chosen)
    table.add_row(
        "reading", f"{figures['reading_x_realtime_a_process']:.0f} ×", "a process; FLAC, 44.1 kHz, 2"
    )
    table.add_row("decoding, writing", f"{figures['decoding_x_realtime_a_process']:.0f} ×", "a process")
    if figures["processes"] > 1:
        both = f"{figures['processes']} processes"
        table.add_row("both together", f"{figures['reading_and_decoding_x_realtime']:.0f} ×", both)
    bound = f"from disk to disk; bound by {figures['bound_by']}"
    table.add_row("the whole", f"{figures['whole_x_realtime']:.0f} ×", bound)
    return table
