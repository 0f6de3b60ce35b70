"""`python -m wavecoder.cli`, for where the script is not on the path."""

from wavecoder.cli.app import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
