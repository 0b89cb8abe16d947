# What every target of ours is built with, and the one function that makes a chapter's targets.
# A warning is an error in ./check and public CI alone, by CMake's own option: -DCMAKE_COMPILE_WARNING_AS_ERROR=ON.

add_library(ladder_warnings INTERFACE)
target_compile_definitions(ladder_warnings INTERFACE LADDER_VERSION="${PROJECT_VERSION}")
target_include_directories(ladder_warnings INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/common)
target_link_libraries(ladder_warnings INTERFACE Threads::Threads)
if(MSVC)
  target_compile_options(ladder_warnings INTERFACE /W4 /permissive- /utf-8)
else()
  target_compile_options(ladder_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # With -O3 it takes "text" + std::to_string(n) for a copy onto itself: GCC's bug 105651, mended in 13.
    target_compile_options(ladder_warnings INTERFACE -Wno-restrict)
  endif()
endif()
if(WIN32)  # Windows 10 or later; without what its headers bring unasked
  target_compile_definitions(ladder_warnings INTERFACE _WIN32_WINNT=0x0A00 WIN32_LEAN_AND_MEAN NOMINMAX)
  target_link_libraries(ladder_warnings INTERFACE ws2_32 synchronization)
endif()

# The sanitizers are for the servers and for what is linked with them; the black-box suite runs beside them.
add_library(ladder_flags INTERFACE)
target_link_libraries(ladder_flags INTERFACE ladder_warnings)
if(LADDER_SANITIZE)
  target_compile_options(ladder_flags INTERFACE -fsanitize=${LADDER_SANITIZE} -fno-omit-frame-pointer
                                                -fno-sanitize-recover=all)
  target_link_options(ladder_flags INTERFACE -fsanitize=${LADDER_SANITIZE})
  if(LADDER_SANITIZE MATCHES undefined)
    # It looks at memory through a pipe, and takes "no descriptor left" for "no such object". STOP-07
    target_compile_options(ladder_flags INTERFACE -fno-sanitize=vptr)
  endif()
endif()

# ladder_model(05_epoll SKETCHES sketch sketch_pool)
#   WINDOWS: its sketches are Windows programs; else they are POSIX ones
#   bin/05_epoll, bin/05_epoll_sketch, bin/05_epoll_sketch_pool, and the library ladder::epoll
function(ladder_model chapter)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WINDOWS" "" "SKETCHES")
  if(NOT arg_SKETCHES)
    set(arg_SKETCHES sketch)
  endif()
  string(REGEX REPLACE "^[0-9]+_" "" model ${chapter})

  add_library(ladder_${model} STATIC ${CMAKE_SOURCE_DIR}/${chapter}/backend.cpp)
  target_link_libraries(ladder_${model} PUBLIC ladder_common)
  add_library(ladder::${model} ALIAS ladder_${model})

  add_executable(${chapter} $<TARGET_OBJECTS:ladder_main>)
  target_link_libraries(${chapter} PRIVATE ladder_${model} ladder_services)

  if(WIN32 AND NOT arg_WINDOWS)
    return()  # the sketches of 01 to 03 are POSIX programs
  endif()
  foreach(sketch IN LISTS arg_SKETCHES)  # alone: the operating system and the standard library, nothing of ours
    add_executable(${chapter}_${sketch} ${CMAKE_SOURCE_DIR}/${chapter}/${sketch}.cpp)
    target_link_libraries(${chapter}_${sketch} PRIVATE ladder_flags)
  endforeach()
endfunction()

# For a cross build: doctest is a header, so the build machine's will do, but alone, without its neighbours.
macro(find_doctest_header)
  find_path(DOCTEST_INCLUDE doctest/doctest.h NO_CMAKE_FIND_ROOT_PATH)
  if(DOCTEST_INCLUDE)
    file(COPY ${DOCTEST_INCLUDE}/doctest DESTINATION ${CMAKE_BINARY_DIR}/include)
    add_library(doctest::doctest INTERFACE IMPORTED)
    target_include_directories(doctest::doctest INTERFACE ${CMAKE_BINARY_DIR}/include)
    set(doctest_FOUND TRUE)
  endif()
endmacro()
