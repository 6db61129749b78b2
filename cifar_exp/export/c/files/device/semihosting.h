/* Files, text and exit through the debugger or emulator (Arm semihosting 2.0): no UART, no printf. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>
#include <string.h>

enum {
    SEMIHOSTING_OPEN = 0x01,
    SEMIHOSTING_CLOSE = 0x02,
    SEMIHOSTING_WRITE0 = 0x04,
    SEMIHOSTING_WRITE = 0x05,
    SEMIHOSTING_READ = 0x06,
    SEMIHOSTING_EXIT = 0x20
};

enum { SEMIHOSTING_READ_BINARY = 1, SEMIHOSTING_WRITE_BINARY = 5 }; /* fopen's "rb" and "wb" */

static inline uint32_t semihosting(uint32_t operation, const void *argument)
{
    register uint32_t result __asm__("r0") = operation;
    register const void *block __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(result) : "r"(block) : "memory");
    return result;
}

/* Print a string that ends with a zero byte. */
static inline void semihosting_print(const char *text)
{
    semihosting(SEMIHOSTING_WRITE0, text);
}

/* Return a handle of the file, or UINT32_MAX where it cannot be opened. */
static inline uint32_t semihosting_open(const char *path, uint32_t mode)
{
    const uint32_t block[3] = {(uint32_t)(uintptr_t)path, mode, (uint32_t)strlen(path)};
    return semihosting(SEMIHOSTING_OPEN, block);
}

static inline void semihosting_close(uint32_t file)
{
    semihosting(SEMIHOSTING_CLOSE, &file);
}

/* Return the number of bytes that were read: fewer than `length` only at the end of the file. */
static inline uint32_t semihosting_read(uint32_t file, void *data, uint32_t length)
{
    const uint32_t block[3] = {file, (uint32_t)(uintptr_t)data, length};
    return length - semihosting(SEMIHOSTING_READ, block);
}

/* Return the number of bytes that were written. */
static inline uint32_t semihosting_write(uint32_t file, const void *data, uint32_t length)
{
    const uint32_t block[3] = {file, (uint32_t)(uintptr_t)data, length};
    return length - semihosting(SEMIHOSTING_WRITE, block);
}

/* End the program; the emulator exits with `status`. */
static inline void semihosting_exit(uint32_t status)
{
    const uint32_t block[2] = {0x20026, status}; /* ADP_Stopped_ApplicationExit */
    semihosting(SEMIHOSTING_EXIT, block);
}

#endif
