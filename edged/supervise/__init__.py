"""What watches the tasks, and how people and systemd see them."""
