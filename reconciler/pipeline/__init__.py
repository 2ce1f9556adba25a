"""The hallway: the only place that joins the rooms. Start reading at `sync.py`."""
