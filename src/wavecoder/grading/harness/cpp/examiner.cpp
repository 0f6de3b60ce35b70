// Behind the tests, in a process of their own: run them, then give the token back.
#include <csignal>
#include <exception>

extern "C" void wavecoder_failed(int) { _Exit(wavecoder::wrong); }
static void wavecoder_raised() { wavecoder::leave(wavecoder::wrong, "a value is not of the kind that the tests want"); }

int main() {
    signal(SIGABRT, wavecoder_failed); // an assertion has said which it was
    set_terminate(wavecoder_raised);
    // The program waits for a line; from then on it could read this file.
    if (remove("examiner") != 0) wavecoder::leave(4, "the examiner cannot remove its file");
    if (fputc('\n', wavecoder::link_out()) == EOF || fflush(wavecoder::link_out()) != 0) return wavecoder::gone;
    wavecoder_tests();
    char token[16];
    FILE *from = fdopen(3, "r"), *to = fdopen(4, "w");
    if (fread(token, sizeof token, 1, from) != 1) wavecoder::leave(4, "no token");
    if (fwrite(token, sizeof token, 1, to) != 1 || fclose(to) != 0) wavecoder::leave(4, "the token is refused");
    wavecoder::send("e");
    return 0;
}
