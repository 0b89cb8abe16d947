"""An echo server with a thread for each client, as one writes it first: first_try.py PORT"""

import socket
import sys
import threading


def serve(client):
    while data := client.recv(4096):
        client.sendall(data)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,)).start()
