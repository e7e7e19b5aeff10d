"""Helpers that several tests share: servers, clients, proxies, random documents and faults."""
