# What every target of ours is built with, and the functions that make a chapter's targets. Of this nothing reaches a
# program that uses the library: no warning, no definition, no folder but the one with <ladder/server.h>.
# A warning is an error in ./check and public CI alone, by CMake's own option: -DCMAKE_COMPILE_WARNING_AS_ERROR=ON.

include(GNUInstallDirs)  # where a package's users find the header

add_library(ladder_warnings INTERFACE)
target_compile_features(ladder_warnings INTERFACE cxx_std_20)
target_compile_definitions(ladder_warnings INTERFACE LADDER_VERSION="${PROJECT_VERSION}")
target_include_directories(ladder_warnings INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/common)
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

# Only what <ladder/server.h> declares is seen from outside a shared library.
function(ladder_library_properties target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden)
  if(NOT WIN32)  # there g++ has a flag for it that clang-tidy does not know
    set_target_properties(${target} PROPERTIES VISIBILITY_INLINES_HIDDEN ON)
  endif()
endfunction()

# The public header alone, where it can be included as <ladder/server.h>.
configure_file(${PROJECT_SOURCE_DIR}/common/ladder/server.h ${PROJECT_BINARY_DIR}/include/ladder/server.h COPYONLY)

# ladder_model(05_epoll SKETCHES sketch sketch_pool)
#   SOURCES: what it shares with another model
#   WINDOWS: its sketches are Windows programs; else they are POSIX ones
#   the library ladder::epoll, and bin/05_epoll, bin/05_epoll_sketch, bin/05_epoll_sketch_pool
function(ladder_model chapter)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WINDOWS" "" "SKETCHES;SOURCES")
  if(NOT arg_SKETCHES)
    set(arg_SKETCHES sketch)
  endif()
  string(REGEX REPLACE "^[0-9]+_" "" model ${chapter})
  set(library ladder_${model})

  add_library(${library} ${PROJECT_SOURCE_DIR}/${chapter}/backend.cpp $<TARGET_OBJECTS:ladder_library>)
  list(TRANSFORM arg_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/)
  target_sources(${library} PRIVATE ${arg_SOURCES})
  add_library(ladder::${model} ALIAS ${library})
  ladder_library_properties(${library})
  target_compile_features(${library} PUBLIC cxx_std_20)
  target_include_directories(${library} PUBLIC $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
                                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${library} PRIVATE $<BUILD_INTERFACE:ladder_flags> Threads::Threads)
  if(WIN32)
    target_link_libraries(${library} PRIVATE ws2_32 synchronization)
  endif()
  set_target_properties(${library} PROPERTIES VERSION ${PROJECT_VERSION} EXPORT_NAME ${model}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    WINDOWS_EXPORT_ALL_SYMBOLS ON  # of a DLL: there the header says nothing of visibility
    # Each defines make_server: a program that linked two would get one of them by chance. So CMake refuses that.
    INTERFACE_LADDER_MODEL ${model} COMPATIBLE_INTERFACE_STRING LADDER_MODEL)
  set_property(GLOBAL APPEND PROPERTY ladder_libraries ${library})

  if(NOT LADDER_PROGRAMS)
    return()
  endif()
  add_executable(${chapter} $<TARGET_OBJECTS:ladder_main>)
  target_link_libraries(${chapter} PRIVATE ladder_services ${library})

  if(WIN32 AND NOT arg_WINDOWS)
    return()  # the sketches and servers of 01 to 03 are POSIX programs
  endif()
  foreach(file IN LISTS arg_SKETCHES ITEMS server)  # alone: the operating system and the standard library, nothing of ours
    add_executable(${chapter}_${file} ${PROJECT_SOURCE_DIR}/${chapter}/${file}.cpp)
    target_link_libraries(${chapter}_${file} PRIVATE ladder_flags)
  endforeach()
endfunction()

# ladder::server is the platform's best model.
function(ladder_best_model model)
  add_library(ladder_server INTERFACE)
  add_library(ladder::server ALIAS ladder_server)
  target_link_libraries(ladder_server INTERFACE ladder_${model})
  set_target_properties(ladder_server PROPERTIES EXPORT_NAME server)
  set_property(GLOBAL APPEND PROPERTY ladder_libraries ladder_server)
  set(ladder_best ${model} PARENT_SCOPE)
endfunction()

# For a cross build: doctest is a header, so the build machine's will do, but alone, without its neighbours.
macro(find_doctest_header)
  find_path(DOCTEST_INCLUDE doctest/doctest.h NO_CMAKE_FIND_ROOT_PATH)
  if(DOCTEST_INCLUDE)
    file(COPY ${DOCTEST_INCLUDE}/doctest DESTINATION ${PROJECT_BINARY_DIR}/doctest)
    add_library(doctest::doctest INTERFACE IMPORTED)
    target_include_directories(doctest::doctest INTERFACE ${PROJECT_BINARY_DIR}/doctest)
    set(doctest_FOUND TRUE)
  endif()
endmacro()
