# Other libraries, to compare with and to judge. Where one is found there is a target, other_libuv; none is required. None
# for a static program: Debian has shared ones alone; nor for Windows.
include_guard(GLOBAL)

function(find_other name header library)
  find_path(${name}_INCLUDE ${header})
  if(library)
    find_library(${name}_LIBRARY ${library})
  endif()
  if(${name}_INCLUDE AND (NOT library OR ${name}_LIBRARY))
    add_library(other_${name} INTERFACE)
    target_include_directories(other_${name} SYSTEM INTERFACE ${${name}_INCLUDE})
    if(library)
      target_link_libraries(other_${name} INTERFACE ${${name}_LIBRARY})
    endif()
  endif()
endfunction()

if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT CMAKE_EXE_LINKER_FLAGS MATCHES "-static")
  find_other(asio asio.hpp "")
  find_other(libuv uv.h uv)
  find_other(libevent event2/bufferevent.h event)
endif()
