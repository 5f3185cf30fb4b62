# A toolchain file: the C++ compiler of the PyPI package ziglang, which brings the libc of many systems and versions, so
# that one machine builds for others. From the environment: ZIG (its program), ZIG_TARGET, ZIG_SYSTEM, ZIG_CPU, as
# packaging/build_wheels.py sets them.
set(CMAKE_SYSTEM_NAME $ENV{ZIG_SYSTEM})
set(CMAKE_SYSTEM_PROCESSOR $ENV{ZIG_CPU})
set(CMAKE_CXX_COMPILER $ENV{ZIG} c++ -target $ENV{ZIG_TARGET})
set(CMAKE_CXX_ARCHIVE_CREATE "$ENV{ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "$ENV{ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "$ENV{ZIG} ranlib <TARGET>")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_CXX_FLAGS_INIT "-include stdio.h")  # nanobind writes to stderr; with the stable ABI nothing else brings it in
