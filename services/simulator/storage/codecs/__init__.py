"""The formats in which disks travel. Exports are iterators of bytes, imports are `ports.DiskImport`."""
