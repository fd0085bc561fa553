/* softdiff-convert card: what a checkpoint says of itself as a model card, with the fields that Hugging
 * Face's hub reads.
 */
#ifndef TOOLS_CONVERT_CARD_H
#define TOOLS_CONVERT_CARD_H

int card_main(int argc, char **argv); /* the exit code */

#endif
