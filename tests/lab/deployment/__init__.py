"""Owns what runs docs/deployment: the image, compose.yaml and the systemd unit, at work on a Debian made by debootstrap."""
