"""Decisions as pure functions of state, outcome and time: no clock, no input or output."""
