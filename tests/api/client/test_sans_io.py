"""One generator of steps is a blocking method, an awaited one, or an iteration, by the class that it is in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from api.client.sans_io import (
    Asynchronous,
    Emit,
    Emits,
    Sleep,
    Steps,
    Synchronous,
    change,
    idempotency_header,
    iteration,
    operation,
    sleep,
)


class _Runner:
    """Answers each step that is no Emit with its number."""

    def run(self, steps: Any) -> Any:
        answer: int | None = None
        for number in range(100):
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value
            assert isinstance(step, Sleep)
            answer = number
        raise AssertionError

    def iterate(self, steps: Any) -> Iterator[Any]:
        for step in steps:
            if isinstance(step, Emit):
                yield step.item


class _AsyncRunner:
    async def run(self, steps: Any) -> Any:
        return _Runner().run(steps)

    async def iterate(self, steps: Any) -> AsyncIterator[Any]:
        for item in _Runner().iterate(steps):
            yield item


class _Methods:
    total = 0

    @operation
    def add(self, first: int, *, second: int) -> Steps[int]:
        """Add two numbers."""
        yield from sleep(0)
        return first + second

    @change
    def grow(self, by: int) -> Steps[None]:
        yield from sleep(0)
        self.total += by

    @iteration
    def count(self, to: int) -> Emits[int]:
        for number in range(to):
            yield from sleep(0)
            yield Emit(number)


class _Blocking(_Methods, Synchronous):
    _runner = _Runner()


class _Awaited(_Methods, Asynchronous):
    _runner = _AsyncRunner()


def test_in_a_synchronous_class_an_operation_returns_its_result() -> None:
    one = _Blocking()
    assert one.add(1, second=2) == 3
    assert one.grow(4) is one
    assert one.total == 4
    assert list(one.count(3)) == [0, 1, 2]


def test_in_an_asynchronous_class_it_is_awaited() -> None:
    async def use() -> None:
        one = _Awaited()
        assert await one.add(1, second=2) == 3
        assert await one.grow(4) is one
        assert one.total == 4
        assert [number async for number in one.count(3)] == [0, 1, 2]

    asyncio.run(use())


def test_a_method_keeps_its_name_and_its_documentation() -> None:
    assert (_Blocking().add.__name__, _Blocking().add.__doc__) == ("add", "Add two numbers.")
    assert isinstance(_Methods.add, operation)


def test_each_request_has_a_key_of_its_own_unless_one_is_given() -> None:
    made = [idempotency_header()["Idempotency-Key"] for _ in range(2)]
    assert len(set(made)) == 2
    assert idempotency_header("tuesday") == {"Idempotency-Key": "tuesday"}
    assert idempotency_header("") == {"Idempotency-Key": ""}, "the service says that it is too short"
