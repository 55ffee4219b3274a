"""Bytes to values and back: adverts and neighbour announcements.  The only room that imports scapy."""
