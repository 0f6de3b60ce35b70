"""`wavecoder run …` that appends a line to a file for each request a local model is asked."""

import sys
from pathlib import Path

from wavecoder.cli import main
from wavecoder.llm import Ledger, LocalModel
from wavecoder.records import ChatReply, ChatRequest

calls = Path(sys.argv.pop(1)) if __name__ == "__main__" else Path()
complete = LocalModel.complete


async def counted(self: LocalModel, request: ChatRequest) -> ChatReply:
    """Note the request, as the ledger names it, then ask."""
    with calls.open("a", encoding="ascii") as file:
        file.write(Ledger.key(self.identity, request) + "\n")
    return await complete(self, request)


if __name__ == "__main__":  # processes that share the work of a stage import this file, too
    LocalModel.complete = counted  # type: ignore[method-assign]
    main()
