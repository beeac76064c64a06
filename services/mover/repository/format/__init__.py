"""The bytes of a repository, as docs/repository-format.md fixes them: pure encoders and decoders."""
