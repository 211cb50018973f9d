// The short vectors of CUDA, with its alignment.
#pragma once

#define EMULATED_VECTORS(name, type)                                                                                 \
  struct alignas(2 * sizeof(type)) name##2 {                                                                         \
    type x, y;                                                                                                       \
  };                                                                                                                 \
  struct name##3 {                                                                                                   \
    type x, y, z;                                                                                                    \
  };                                                                                                                 \
  struct alignas(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16) name##4 {                                            \
    type x, y, z, w;                                                                                                 \
  };                                                                                                                 \
  inline name##2 make_##name##2(type x, type y) { return name##2{x, y}; }                                            \
  inline name##3 make_##name##3(type x, type y, type z) { return name##3{x, y, z}; }                                 \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return name##4{x, y, z, w}; }

EMULATED_VECTORS(float, float)
EMULATED_VECTORS(double, double)
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(uint, unsigned int)
EMULATED_VECTORS(uchar, unsigned char)
EMULATED_VECTORS(ulonglong, unsigned long long)
