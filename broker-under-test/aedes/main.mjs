// aedes with its persistence in a LevelDB: HOST PORT FOLDER TLS-PORT WEBSOCKET-PORT CERTIFICATES
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Aedes } from 'aedes'
import { Level } from 'level'
import persistence from 'aedes-persistence-level'
import { WebSocketServer, createWebSocketStream } from 'ws'

const [host, port, folder, tlsPort, wsPort, certificates] = process.argv.slice(2)
const store = persistence(new Level(folder, { valueEncoding: 'binary' }))
const broker = await Aedes.createBroker({ id: 'squall', persistence: store })
const pem = (name) => readFileSync(`${certificates}/${name}.pem`)
const http = createHttpServer()
new WebSocketServer({ server: http }).on('connection', (socket, request) => {
  broker.handle(createWebSocketStream(socket), request)
})
const servers = [
  [createServer(broker.handle), port],
  [createTlsServer({ cert: pem('server'), key: pem('server-key') }, broker.handle), tlsPort],
  [http, wsPort]
]
for (const [server, at] of servers) {
  server.on('error', (error) => { console.error(error); process.exit(1) })
  server.listen(Number(at), host)
}
process.on('SIGTERM', () => broker.close(() => servers[0][0].close(() => process.exit(0))))
