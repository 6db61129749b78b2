/* Classify an image on the PC: ./classify image.ppm (binary PPM, square, of the network's size, 255 levels). */
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "network.h"

static uint64_t arena[(NETWORK_ARENA_BYTES + 7) / 8];

/* Read the next number of the header; comments run from # to the end of the line. */
static unsigned read_number(FILE *file)
{
    unsigned number = 0;
    int character = getc(file);
    while (isspace(character) || character == '#') {
        if (character == '#')
            while (character != '\n' && character != EOF)
                character = getc(file);
        character = getc(file);
    }
    while (isdigit(character) && number < 100000) {
        number = number * 10 + (unsigned)(character - '0');
        character = getc(file); /* the last one read is the single space after the number */
    }
    return number;
}

/* Read raw pixels into `input`; return 0, or 1 where the file is no image of the network's size. */
static int read_image(FILE *file, uint8_t *input)
{
    const int is_netpbm = getc(file) == 'P';
    if (!is_netpbm || getc(file) != '6')
        return 1;
    const unsigned width = read_number(file), height = read_number(file), levels = read_number(file);
    if (width != height || (uint64_t)width * height * 3 != NETWORK_INPUT_BYTES || levels != 255)
        return 1;
    return fread(input, 1, NETWORK_INPUT_BYTES, file) != NETWORK_INPUT_BYTES;
}

static void print_probabilities(const int32_t logits[NETWORK_CLASSES])
{
    const int32_t greatest = logits[network_class(logits)];
    double exponentials[NETWORK_CLASSES], sum = 0;
    for (int i = 0; i < NETWORK_CLASSES; i++)
        sum += exponentials[i] = exp(((double)logits[i] - greatest) * (double)network_logit_scale);
    for (int i = 0; i < NETWORK_CLASSES; i++)
        printf("%6.2f %%  %s\n", 100 * exponentials[i] / sum, network_class_names[i]);
}

int main(int count, char *arguments[])
{
    if (count != 2) {
        fprintf(stderr, "usage: %s image.ppm\n", arguments[0]);
        return 2;
    }
    FILE *file = fopen(arguments[1], "rb");
    if (file == NULL || read_image(file, network_input(arena)) != 0) {
        fprintf(stderr, "%s: expected a square binary PPM (P6) of %d bytes of pixels and 255 levels\n", arguments[1],
                NETWORK_INPUT_BYTES);
        return 2;
    }
    fclose(file);
    int32_t logits[NETWORK_CLASSES];
    network_run(arena, logits);
    printf("%s\n", network_class_names[network_class(logits)]);
    print_probabilities(logits);
    return 0;
}
