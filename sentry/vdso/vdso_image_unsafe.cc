#include "sentry/vdso/vdso_clock.h"

// The image that the build has linked, padded to whole pages.
asm(R"(
    .pushsection .rodata
    .balign 4096
runsc_vdso_image:
    .incbin ")" RUNSC_VDSO_IMAGE R"("
    .balign 4096
runsc_vdso_image_end:
    .popsection
)");
extern "C" const uint8_t runsc_vdso_image[], runsc_vdso_image_end[];

namespace vdso {

std::span<const uint8_t> Image() { return {runsc_vdso_image, runsc_vdso_image_end}; }

}  // namespace vdso
