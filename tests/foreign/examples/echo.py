"""An echo server with a thread for each client: echo.py PORT"""

import socket
import sys
import threading


def serve(client):
    with client:  # closed when its thread is done with it, whoever else still knows it
        try:
            while data := client.recv(4096):
                client.sendall(data)
        except ConnectionError:
            pass  # a client that is gone takes nobody with it


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
