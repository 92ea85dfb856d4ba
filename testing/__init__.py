"""The public test kit for people who write or embed extensions. Nothing is in it yet."""
