"""Dashboard *GPU and host*: has the machine anything left?"""

from grafana_foundation_sdk.builders import dashboard as dashboards

from grafana.generator.boards import dashboard
from grafana.generator.panels import Limits, lines
from grafana.generator.queries import SELECTOR, Query, matching, rate

_USED = f"max by (job, instance, gpu_id, model) (nvidia_gpu_memory_used_bytes{{{SELECTOR}}})"
_DEVICES = 'instance=~"$host", device!="lo"'
_LIMIT = f"max by (job, instance, gpu_id) (hw_gpu_memory_limit_bytes{{{SELECTOR}}})"


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-gpu-host",
        "MGeo / GPU and host",
        "The service's process, the machine under it, and the GPU as NVML reports it.",
        hosts=True,
    )
    for add in (_process, _host, _gpu):
        add(board)
    return board


def _gpu(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("GPU (empty on a machine without one)"))
    board.with_panel(
        lines(
            "GPU memory in use",
            "By all processes on the GPU. A line that only ever rises is a leak.",
            "bytes",
            Query(
                f"nvidia_gpu_memory_used_bytes{{{SELECTOR}}}",
                "{{instance}} GPU {{gpu_id}} {{model}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "GPU memory in use, share",
            "Of the memory installed. From 95 % on an alert fires; a slope that reaches 100 % "
            "within the hour fires one before.",
            "percentunit",
            Query(
                f"{_USED} / on (job, instance, gpu_id) group_left {_LIMIT}",
                "{{instance}} GPU {{gpu_id}}",
            ),
            width=8,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "GPU utilization",
            "Share of the time in which any kernel ran. High says busy, not efficient.",
            "percentunit",
            Query(f"hw_gpu_utilization_ratio{{{SELECTOR}}}", "{{instance}} GPU {{gpu_id}}"),
            width=8,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "GPU temperature",
            "Core temperature. Clocks fall when it nears the card's limit.",
            "celsius",
            Query(f"hw_temperature_celsius{{{SELECTOR}}}", "{{instance}} GPU {{gpu_id}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "GPU power",
            "Draw of the whole board.",
            "watt",
            Query(f"hw_power_watts{{{SELECTOR}}}", "{{instance}} GPU {{gpu_id}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Age of the GPU readings",
            "Time since NVML last answered. Growing: the driver hangs, and the other panels of "
            "this row stop.",
            "s",
            Query(f"mgeo_gpu_sample_age_seconds{{{SELECTOR}}}", "{{instance}}"),
            width=8,
        )
    )


def _process(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("The service's process"))
    board.with_panel(
        lines(
            "CPU",
            "Cores in use by the process, and how many its machine has. At the number given to "
            "it, it is the bottleneck.",
            "short",
            Query(
                f"sum by (job, instance) ({rate('process_cpu_time_seconds_total')})",
                "{{instance}}",
            ),
            Query(
                'max(count by (instance) (node_cpu_seconds_total{instance=~"$host", mode="idle"}))',
                "largest machine",
            ),
            width=6,
        )
    )
    board.with_panel(
        lines(
            "Memory",
            "Resident memory. Flat after the first minutes is healthy.",
            "bytes",
            Query(f"process_memory_usage_bytes{matching()}", "{{instance}}"),
            width=6,
        )
    )
    board.with_panel(
        lines(
            "Memory, share of its limit",
            "Of the container's limit, or the machine's memory. From 90 % on an alert fires.",
            "percentunit",
            Query(
                f"process_memory_usage_bytes{matching()} / on (job, instance) "
                f"mgeo_memory_limit_bytes{matching()}",
                "{{instance}}",
            ),
            width=6,
            maximum=1,
            limits=Limits(orange=0.8, red=0.9),
        )
    )
    board.with_panel(
        lines(
            "Threads and open files",
            "Both are bounded by design; a steady rise is a leak.",
            "short",
            Query(f"process_thread_count{matching()}", "{{instance}} threads"),
            Query(f"process_unix_file_descriptor_count{matching()}", "{{instance}} open files"),
            width=6,
        )
    )


def _host(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Hosts"))
    board.with_panel(
        lines(
            "Host CPU",
            "Busy share of all cores. An alert fires after 15 minutes over 90 %.",
            "percentunit",
            Query(
                "1 - avg by (instance) "
                '(rate(node_cpu_seconds_total{instance=~"$host", mode="idle"}[$__rate_interval]))',
                "{{instance}}",
            ),
            width=8,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Host memory",
            "Share of it in use. What the kernel can give back counts as free.",
            "percentunit",
            Query(
                '1 - node_memory_MemAvailable_bytes{instance=~"$host"} '
                '/ node_memory_MemTotal_bytes{instance=~"$host"}',
                "{{instance}}",
            ),
            width=8,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Load per core",
            "Processes that run or wait, over 1 minute, per core. Above 1 they wait.",
            "short",
            Query(
                'node_load1{instance=~"$host"} / on (instance) '
                'count by (instance) (node_cpu_seconds_total{instance=~"$host", mode="idle"})',
                "{{instance}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Disk space left",
            "Of each file system. The Collector's queues and all stores are on disk.",
            "percentunit",
            Query(
                "min by (instance, mountpoint) "
                '(node_filesystem_avail_bytes{instance=~"$host", fstype!~"tmpfs|overlay"} '
                '/ node_filesystem_size_bytes{instance=~"$host", fstype!~"tmpfs|overlay"})',
                "{{instance}} {{mountpoint}}",
            ),
            width=12,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Network",
            "Received and sent by the host, without its loopback.",
            "Bps",
            Query(
                "sum by (instance) "
                f"(rate(node_network_receive_bytes_total{{{_DEVICES}}}[$__rate_interval]))",
                "{{instance}} received",
            ),
            Query(
                "sum by (instance) "
                f"(rate(node_network_transmit_bytes_total{{{_DEVICES}}}[$__rate_interval]))",
                "{{instance}} sent",
            ),
            width=12,
        )
    )
