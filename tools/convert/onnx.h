/* softdiff-convert onnx: a model as a graph that other runtimes draw with. */
#ifndef TOOLS_CONVERT_ONNX_H
#define TOOLS_CONVERT_ONNX_H

int onnx_main(int argc, char **argv); /* the exit code */

#endif
