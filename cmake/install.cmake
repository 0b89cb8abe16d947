# What `cmake --install` puts where others find it: find_package(SocketLadder), pkg-config's socket-ladder, and archives.
include(CMakePackageConfigHelpers)

get_property(libraries GLOBAL PROPERTY ladder_libraries)
install(TARGETS ${libraries} EXPORT SocketLadderTargets)
install(FILES ${PROJECT_SOURCE_DIR}/common/ladder/server.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ladder)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/SocketLadder)
install(EXPORT SocketLadderTargets NAMESPACE ladder:: DESTINATION ${package})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/SocketLadderConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/SocketLadderConfig.cmake INSTALL_DESTINATION ${package})
# Before 1.0 each minor version may change the API and the ABI.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/SocketLadderConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/SocketLadderConfig.cmake ${PROJECT_BINARY_DIR}/SocketLadderConfigVersion.cmake
        DESTINATION ${package})

if(ladder_best)
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)  # the file finds its prefix, wherever the tree is moved
  set(system_libraries $<IF:$<BOOL:${WIN32}>,-lws2_32 -lsynchronization,-pthread>)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/socket-ladder.pc.in ${PROJECT_BINARY_DIR}/socket-ladder.pc.in @ONLY)
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/socket-ladder.pc INPUT ${PROJECT_BINARY_DIR}/socket-ladder.pc.in)
  install(FILES ${PROJECT_BINARY_DIR}/socket-ladder.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

if(LADDER_PROGRAMS)
  install(TARGETS client)
  if(TARGET conformance)
    install(TARGETS conformance)
  endif()
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(WIN32)
  set(CPACK_GENERATOR ZIP)
else()
  set(CPACK_GENERATOR TGZ)
endif()
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
include(CPack)
