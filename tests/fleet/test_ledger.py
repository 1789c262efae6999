"""What is done, what is to do, and what a report that was cut off still says."""

import pytest

from fleet.errors import FleetError
from fleet.ledger import Ledger
from fleet.photos import Photo
from fleet.progress import Progress, duration
from fleet.report import write_report
from support.photo_folders import paint


def ledger_of(out, key="k", again=False, photos=("a.png", "b.png", "c.png"), stamp="1"):
    ledger = Ledger(out)
    for name in photos:
        ledger.add(Photo(name, name.removesuffix(".png"), stamp), key)
    ledger.resume(again)
    return ledger


def line(name, error=None, key="k", stamp="1"):
    result = None if error else name
    return {"photo": name, "result": result, "seconds": 1.0, "worker": "w:1", "seed": {}, "error": error, "key": key, "stamp": stamp}


@pytest.fixture
def out(tmp_path):
    """A run that has done a, has failed at b, and was cut off in the line of c."""
    ledger = ledger_of(tmp_path)
    for name in "abc":
        paint(tmp_path / f"{name}.png")
    ledger.write(line("a.png"))
    ledger.write(line("b.png", "no"))
    ledger.report.write('{"photo": "c.p')
    ledger.report.close()
    return tmp_path


def test_what_was_done_stays_and_the_rest_is_to_do(out):
    ledger = ledger_of(out)
    assert (ledger.total, ledger.done, ledger.failed) == (3, 1, 0)
    assert len(list(ledger.left())) == 2
    ledger.write(line("b.png"))
    assert ledger_of(out).done == 2


def test_a_result_that_is_gone_and_a_photo_that_changed_are_to_do(out):
    assert ledger_of(out, stamp="2").done == 0
    (out / "a.png").unlink()
    assert ledger_of(out).done == 0


def test_another_workflow_is_refused_or_made_again(out):
    with pytest.raises(FleetError, match=r"1 results in .* another workflow or other values, that of a\.png .*--again"):
        ledger_of(out, key="other")
    ledger = ledger_of(out, key="other", again=True)
    assert ledger.done == 0
    ledger.write(line("a.png", key="other"))
    assert ledger_of(out, key="other").done == 1


def test_values_of_one_photo_change_its_key_alone(out):
    ledger = Ledger(out)
    for name in ("a.png", "b.png"):
        ledger.add(Photo(name, name, "1"), "k")
    ledger.give("b.png", {"8.text": "x"}, "other")
    with pytest.raises(FleetError, match=r"'d\.png'"):
        ledger.give("d.png", {}, "other")
    ledger.resume(False)
    assert ledger.done == 1


def test_the_page_has_what_failed_first_and_a_thousand_photos(tmp_path):
    names = [f"{number:04}<i>.png" for number in range(1200)]
    ledger = ledger_of(tmp_path, photos=names)
    for name in names:
        ledger.write(line(name, "why & how" if name.startswith("1100") else None))
    page = write_report(ledger, lambda name: tmp_path / "none" / name).read_text()
    assert page.count("<figure") == 1000
    assert page.index("1100&lt;i&gt;.png<br><small>why &amp; how") < page.index("0000&lt;i&gt;.png")
    assert (tmp_path / "report-2.html").read_text().count("<figure") == 200


def test_progress_tells_rate_and_time_left(monkeypatch):
    progress = Progress(10_000, 100)
    progress.done, progress.started = 200, progress.started - 360
    assert progress.text(3) == "200 of 10,000 photos, 1,000 an hour, 9 h 48 min left, 3 failed"
    assert duration(61) == "1 min 01 s"
