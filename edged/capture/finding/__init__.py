"""What cameras there are: sensors of a Pi, USB cameras, network cameras that answer to ONVIF."""
