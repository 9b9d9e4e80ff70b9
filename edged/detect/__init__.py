"""From luma frames to motion, and from motion to incidents."""
