// mochi, in memory: ADDRESS TLS-ADDRESS WEBSOCKET-ADDRESS CERTIFICATES
package main

import (
	"crypto/tls"
	"os"
	"os/signal"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	server := mqtt.New(&mqtt.Options{})
	must(server.AddHook(new(auth.AllowHook), nil))
	certificate, err := tls.LoadX509KeyPair(os.Args[4]+"/server.pem", os.Args[4]+"/server-key.pem")
	must(err)
	secure := &tls.Config{Certificates: []tls.Certificate{certificate}}
	must(server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: os.Args[1]})))
	must(server.AddListener(listeners.NewTCP(listeners.Config{ID: "tls", Address: os.Args[2], TLSConfig: secure})))
	must(server.AddListener(listeners.NewWebsocket(listeners.Config{ID: "ws", Address: os.Args[3]})))
	must(server.Serve())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	must(server.Close())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
