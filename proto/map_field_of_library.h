#pragma once
// Included first by every source that sees our messages in a build for the thread sanitizer. There Protocol
// Buffers gives its map fields two more members, which the distribution's library, built without it, does not
// know: what one side writes the other looks for 8 bytes away. Here the class is read as the library has it.

#pragma push_macro("__SANITIZE_THREAD__")
#undef __SANITIZE_THREAD__
#include <google/protobuf/map_field.h>
#pragma pop_macro("__SANITIZE_THREAD__")
