/* files.c - opens a file, which is a thing this host has not got: refused before anything runs. */
#include <desk.h>
#include <stdio.h>

DESK_EXPORT("length") int32_t length(void) {
    FILE *file = fopen("/etc/passwd", "r");
    int32_t n = 0;
    if (!file) return -1;
    while (getc(file) != EOF) n++;
    fclose(file);
    return n;
}
