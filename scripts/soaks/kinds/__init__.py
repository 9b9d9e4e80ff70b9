"""The kinds of soak: each module is one, with `async def soak(run: Run) -> None`; helpers begin with `_`."""
