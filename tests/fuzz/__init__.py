"""Bytes that no client and no member would send: nothing crashes, hangs or grows, and everybody else is served on."""
