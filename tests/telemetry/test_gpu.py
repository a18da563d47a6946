"""GPU metrics without a GPU: the real pynvml on a stub of NVIDIA's library."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.telemetry.exposition import Exposition
from tests.telemetry.nvml import stub
from tests.telemetry.nvml.stub import ONE_GPU, TWO_GPUS, Driver

GPU_FAMILIES = {
    "nvidia_gpu_memory_used_bytes",
    "hw_gpu_memory_limit_bytes",
    "hw_gpu_utilization_ratio",
    "hw_temperature_celsius",
    "hw_power_watts",
}
AGE = "mgeo_gpu_sample_age_seconds"


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) to build the stub of NVML with")
    return stub.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "gpus"
    stub.write_state(path, ONE_GPU)
    return path


def has_gpus(seen: Exposition) -> bool:
    return not GPU_FAMILIES.isdisjoint(seen.families)


def test_values_of_two_gpus_come_out_exactly(libraries: Path, state: Path) -> None:
    stub.write_state(state, TWO_GPUS)
    with Driver(libraries, state) as driver:
        seen = driver.scrape_until(has_gpus)
        log = driver.end()

    first, second = {"gpu_id": "0", "hw_id": "GPU-aaaa"}, {"gpu_id": "1", "hw_id": "GPU-bbbb"}
    gpu = {"hw_type": "gpu"}
    value = seen.value
    used = "nvidia_gpu_memory_used_bytes"
    assert value(used, gpu_id="0", model="NVIDIA H200") == 1_234_567_890_123
    assert value(used, gpu_id="1", model='NVIDIA "L4"') == 0
    assert value("hw_gpu_memory_limit_bytes", **first) == 150_754_820_096
    assert value("hw_gpu_memory_limit_bytes", **second) == 24_152_899_584
    assert value("hw_gpu_utilization_ratio", **first) == 0.37
    assert value("hw_gpu_utilization_ratio", **second) == 1
    assert value("hw_temperature_celsius", **first, **gpu) == 61
    assert value("hw_temperature_celsius", **second, **gpu) == 0
    assert value("hw_power_watts", **first, **gpu) == 301.5
    assert value("hw_power_watts", **second, **gpu) == 72.001
    assert {len(seen.families[name].samples) for name in GPU_FAMILIES} == {2}
    assert 0 <= value(AGE) < 5
    assert log == []


@pytest.mark.slow
def test_a_missing_sensor_loses_its_series_alone_and_warns_once(
    libraries: Path, state: Path
) -> None:
    failing = {"0.nvmlDeviceGetTemperature.fail": stub.NOT_SUPPORTED}
    stub.write_state(state, TWO_GPUS | failing)
    with Driver(libraries, state) as driver:
        driver.scrape_until(has_gpus)
        time.sleep(0.3)  # several samples
        seen = driver.scrape()
        log = driver.end()

    counts = {name: len(seen.families[name].samples) for name in GPU_FAMILIES}
    assert counts == dict.fromkeys(GPU_FAMILIES, 2) | {"hw_temperature_celsius": 1}
    [warning] = log
    assert (warning["level"], warning["message"]) == ("warning", "GPU reading failed")
    assert warning["reading"] == "hw.temperature"
    assert warning["reason"] == "Not Supported"


@pytest.mark.slow
def test_a_lost_board_takes_no_other_with_it(libraries: Path, state: Path) -> None:
    lost = {"0.nvmlDeviceGetHandleByIndex_v2.fail": stub.GPU_IS_LOST}
    stub.write_state(state, TWO_GPUS | lost)
    with Driver(libraries, state) as driver:
        seen = driver.scrape_until(has_gpus)
        log = driver.end()

    samples = [sample for name in GPU_FAMILIES for sample in seen.families[name].samples]
    assert {sample.labels["gpu_id"] for sample in samples} == {"1"}
    assert [(line["reading"], line["reason"]) for line in log] == [("gpu 0", "GPU is lost")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "failure",
    [
        {"nvmlDeviceGetCount_v2.fail": stub.UNKNOWN},
        {"nvmlDeviceGetHandleByIndex_v2.fail": stub.GPU_IS_LOST},
        {"nvmlDeviceGetMemoryInfo.hang": 1},
    ],
    ids=["all calls fail", "every board is lost", "a call hangs"],
)
def test_readings_end_with_nvml_and_come_back_with_it(
    libraries: Path, state: Path, failure: dict[str, int]
) -> None:
    with Driver(libraries, state, stale_after=0.4) as driver:
        driver.scrape_until(has_gpus)
        stub.write_state(state, ONE_GPU | failure)
        seen = driver.scrape_until(lambda seen: not has_gpus(seen))
        assert seen.value(AGE) >= 0.4
        time.sleep(0.2)
        later = driver.scrape()
        assert not has_gpus(later)
        assert later.value(AGE) > seen.value(AGE) + 0.15
        assert driver.last["scrape_seconds"] < 1

        stub.write_state(state, ONE_GPU | {"0.temperature": 62})
        seen = driver.scrape_until(has_gpus)
        log = driver.end()

    assert seen.families["hw_temperature_celsius"].samples[0].value == 62
    assert seen.value(AGE) < later.value(AGE)
    # Once for what failed and once for all of it, however often it was tried.
    assert len(log) <= 2


@pytest.mark.slow
def test_an_initialisation_that_hangs_holds_up_neither_start_nor_scrape(
    libraries: Path, state: Path
) -> None:
    stub.write_state(state, ONE_GPU | {"nvmlInitWithFlags.hang": 1})
    with Driver(libraries, state, stale_after=0.3) as driver:
        seen = driver.scrape_until(lambda seen: AGE in seen.families)
        assert driver.last["start_seconds"] < 1
        assert driver.last["scrape_seconds"] < 1
        assert not has_gpus(seen)
        assert driver.last["off_reason"] is None

        stub.write_state(state, ONE_GPU)
        driver.scrape_until(has_gpus)
        assert driver.end() == []


@pytest.mark.slow
def test_without_nvml_it_says_so_once(tmp_path: Path, state: Path) -> None:
    # Not a library, so that a machine which has the real one does not find it either.
    (tmp_path / stub.LIBRARY).touch()
    with Driver(tmp_path, state, stale_after=0.1) as driver:
        driver.scrape_until(lambda _: driver.last["off_reason"])
        time.sleep(0.2)
        seen = driver.scrape()
        [line] = driver.end()

    assert [s for s in seen.samples if s.name.startswith(("nvidia_", "hw_", "mgeo_gpu_"))] == []
    assert (line["level"], line["message"]) == ("info", "GPU metrics are off")
    assert line["reason"] == driver.last["off_reason"] != ""


@pytest.mark.slow
def test_without_a_driver_it_says_so_once(libraries: Path, state: Path) -> None:
    stub.write_state(state, {"nvmlInitWithFlags.fail": stub.DRIVER_NOT_LOADED})
    with Driver(libraries, state, stale_after=0.1) as driver:
        driver.scrape_until(lambda _: driver.last["off_reason"])
        time.sleep(0.2)
        seen = driver.scrape()
        [line] = driver.end()

    assert [s for s in seen.samples if s.name.startswith(("nvidia_", "hw_", "mgeo_gpu_"))] == []
    assert line["reason"] == "Driver Not Loaded"


@pytest.mark.slow
def test_a_driver_with_no_gpu_is_an_answer(libraries: Path, state: Path) -> None:
    stub.write_state(state, {"count": 0})
    with Driver(libraries, state, stale_after=0.4) as driver:
        driver.scrape_until(lambda seen: AGE in seen.families)
        time.sleep(1)
        # The first sample is older than this. A machine that stalls may delay the next one.
        seen = driver.scrape_until(lambda seen: seen.value(AGE) < 0.9)
        assert driver.end() == []

    assert not has_gpus(seen)
