"""Test helpers that ship with Undrift: real servers with faults to switch on, and trees in memory."""
