"""Energy of training, by counters that begin again, that nobody may read, or that are not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.host import energy_meter
from core.host.energy_meter import NOT_READ, NOT_THERE, STOOD_STILL, Counter, EnergyMeter, nvml, rapl
from core.report.run_words import training_energy
from core.schemas.training_energy import TrainingEnergy
from core.units import format_joules

SPAN = 262_143_328_850  # of a real processor, in microjoules


def zone(powercap, folder, name, uj, span=SPAN):
    place = powercap / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text(f"{span}\n")
    (place / "energy_uj").write_text(f"{uj}\n")
    return place / "energy_uj"


def test_packages_are_summed_memory_stands_apart_and_nothing_is_counted_twice(tmp_path):
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 0)
    twice = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:2", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    with EnergyMeter(powercap=tmp_path, every_s=3600) as meter:
        first.write_text("3000000")  # 2 J
        second.write_text("5500000")  # 0.5 J
        memory.write_text("250000")  # 0.25 J
        for file in twice:
            file.write_text("99000000")
    told = meter.told(whole_run=True)
    assert told.parts == {"processor": 2.5, "memory": 0.25}
    assert told.unavailable is None


def test_a_counter_that_begins_again_between_two_looks_goes_on(tmp_path):
    file = zone(tmp_path, "intel-rapl:0", "package-0", SPAN - 1_000_000)
    with EnergyMeter(powercap=tmp_path, every_s=3600) as meter:
        file.write_text("2000000")
        meter.look()
        file.write_text(str(SPAN - 500_000))
        meter.look()
        file.write_text("500000")
    # 3 J over the first end, all but 2.5 J of a whole turn, 1 J over the second end
    assert meter.told(whole_run=True).package_j == pytest.approx(3 + SPAN * 1e-6 - 2.5 + 1)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=50), st.integers(0, 999))
def test_whatever_is_taken_between_looks_adds_up_however_often_it_begins_again(steps, start):
    """Of a counter that holds 0 to 999, as long as less than a whole turn passes between two looks."""
    total = start
    seen = iter([start, *[(total := total + step) % 1000 for step in steps]])
    counter = Counter(part="package_j", read=lambda: next(seen), unit_j=1.0, span=1000)
    for _ in range(len(steps) + 1):
        counter.look()
    assert counter.counted == sum(steps)


def test_a_thread_looks_meanwhile(tmp_path, monkeypatch):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    looks = []
    with EnergyMeter(powercap=tmp_path, every_s=0.001) as meter:
        look = meter.look
        monkeypatch.setattr(meter, "look", lambda: (looks.append(1), look()))
        while not looks:
            meter._stopping.wait(0.001)
    assert not meter._thread.is_alive()


def test_without_a_meter_there_is_no_figure_and_never_zero(tmp_path):
    with EnergyMeter(powercap=tmp_path / "none") as meter:
        pass
    assert meter.told(whole_run=True).model_dump(exclude_none=True, exclude={"seconds"}) == {
        "whole_run": True,
        "unavailable": NOT_THERE,
    }
    zone(tmp_path, "intel-rapl:0", "package-0", 7)
    with EnergyMeter(powercap=tmp_path) as still:
        pass
    assert (still.told(whole_run=True).parts, still.told(whole_run=True).unavailable) == ({}, STOOD_STILL)


def test_a_counter_that_only_the_administrator_may_read_says_so(tmp_path, monkeypatch):
    zone(tmp_path, "intel-rapl:0", "package-0", 7)

    def refused():
        raise PermissionError

    monkeypatch.setattr(energy_meter, "_reader", lambda file: refused)
    assert rapl(tmp_path) == ([], NOT_READ)


def test_a_part_of_which_one_counter_is_lost_has_no_figure(tmp_path):
    """Half of a machine's energy would look like all of it."""
    first = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    with EnergyMeter(powercap=tmp_path, every_s=3600) as meter:
        first.write_text("1000000")
        second.unlink()
    assert meter.told(whole_run=True).parts == {}


def test_a_gpu_without_nvml_has_no_counter():
    assert nvml("GPU-1", library="libnone-such.so") == []


def test_nvml_counts_millijoules_of_the_gpu_that_trains(tmp_path, monkeypatch):
    """Against a stand-in for the library: its functions and their arguments, as its manual has them."""
    told = iter([1_000, 1_000, 4_500])
    asked = []

    class Library:
        def nvmlInit_v2(self):
            return 0

        def nvmlDeviceGetHandleByUUID(self, uuid, handle):
            asked.append(uuid)
            return 0

        def nvmlDeviceGetTotalEnergyConsumption(self, handle, value):
            value._obj.value = next(told)
            return 0

    monkeypatch.setattr(energy_meter.ctypes, "CDLL", lambda name: Library())
    with EnergyMeter(gpu="GPU-1", powercap=tmp_path, every_s=3600) as meter:
        pass
    assert asked == [b"GPU-1"]
    assert meter.told(whole_run=True).gpu_j == 3.5


def test_the_page_says_what_was_measured_and_that_it_is_no_estimate_of_an_inference():
    def said(**values):
        return training_energy({"training_energy": TrainingEnergy(**values).model_dump(exclude_none=True)})

    assert said(package_j=12_340.0, gpu_j=2.5e6, seconds=90.0).startswith(
        "Energy of training: 12.3 kJ by the processor and 2.5 MJ by the GPU, in 1 min 30 s. It is read from the machine's"
    )
    assert "an estimate" in said(package_j=1.0)
    assert "since it was last resumed" in said(package_j=1.0, whole_run=False)
    assert said(unavailable=NOT_THERE) == f"Energy of training: unavailable, {NOT_THERE}."
    assert training_energy({}) is None
    assert training_energy({"training_energy": {"package_j": 0}}) is None
    assert format_joules(999.9) == "1 kJ"
