"""A simulation of hookd processes on one database: what they can do, and what limits them, out of measured times.

The world, the costs, and a course of events in simulated time are pure; `calibrate` and `check` measure.
"""
