/* softdiff-convert import: a checkpoint from the weights of yang-song/score_sde_pytorch. */
#ifndef TOOLS_CONVERT_IMPORT_H
#define TOOLS_CONVERT_IMPORT_H

int import_main(int argc, char **argv); /* the exit code */

#endif
