from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mmt.studio import work
from mmt.studio.work import BusyError, Job, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(lambda: None)
    yield made
    made.end()


def wait(job: Job) -> str:
    assert job.over.wait(10)
    return job.status


def test_jobs_run_one_after_the_other(worker: Worker) -> None:
    order: list[str] = []

    def slow(job: Job) -> None:
        order.append(f"{job.piece} begins")
        time.sleep(0.02)
        order.append(f"{job.piece} ends")

    jobs = [worker.submit(name, slow) for name in "ab"]
    assert [wait(job) for job in jobs] == ["done", "done"]
    assert order == ["a begins", "a ends", "b begins", "b ends"]


def test_a_job_can_be_stopped_between_two_events(worker: Worker) -> None:
    def forever(job: Job) -> None:
        while True:
            job.check()
            time.sleep(0.005)

    job = worker.submit("a", forever)
    worker.stop(job)
    assert wait(job) == "stopped"
    assert job.messages[-1]["type"] == "stopped"


def test_a_long_call_is_interrupted(worker: Worker) -> None:
    begun = threading.Event()

    def call() -> None:
        begun.set()
        while True:
            time.sleep(0.001)

    job = worker.submit("a", lambda job: job.interruptibly(call))
    assert begun.wait(10)
    worker.stop(job)
    assert wait(job) == "stopped"
    assert wait(worker.submit("b", lambda job: None)) == "done"


def test_stopping_at_any_moment_leaves_the_worker_usable(worker: Worker) -> None:
    for delay in range(40):
        job = worker.submit("a", lambda job: job.interruptibly(lambda: sum(range(2000))))
        time.sleep(delay * 1e-5)
        worker.stop(job)
        assert wait(job) in ("done", "stopped")
    assert worker.call(lambda: 42, 10) == 42


def test_a_piece_has_one_job_at_a_time(worker: Worker) -> None:
    first = worker.submit("a", lambda job: job.interruptibly(lambda: time.sleep(0.2)))
    second = worker.submit("a", lambda job: None)
    assert (wait(first), wait(second)) == ("stopped", "done")


def test_errors_are_reported_in_one_line(worker: Worker) -> None:
    def wrong(job: Job) -> None:
        raise ValueError("beats is\n  0")

    def broken(job: Job) -> None:
        raise ZeroDivisionError("by zero")

    for function, text in ((wrong, "beats is 0"), (broken, "unexpected ZeroDivisionError: by zero")):
        job = worker.submit("a", function)
        assert wait(job) == "failed"
        assert job.messages[-1] == {"type": "failed", "text": text}


def test_a_full_queue_refuses_jobs(worker: Worker) -> None:
    hold = threading.Event()
    running = worker.submit("a", lambda job: job.say(released=hold.wait(10)))
    while running.status == "waiting":
        time.sleep(0.001)
    for number in range(work.MOST_WAITING):
        worker.submit(str(number), lambda job: None)
    with pytest.raises(BusyError, match="try again in a moment"):
        worker.submit("one more", lambda job: None)
    hold.set()


def test_a_model_that_cannot_be_set_up_is_reported() -> None:
    def fail() -> None:
        raise ValueError("no such thing")

    worker = Worker(fail)
    assert worker.call(lambda: 1, 10) == 1
    assert "no such thing" in worker.trouble
    worker.end()
