// aedes with its persistence in a LevelDB: HOST PORT FOLDER
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { Level } from 'level'
import persistence from 'aedes-persistence-level'

const [host, port, folder] = process.argv.slice(2)
const store = persistence(new Level(folder, { valueEncoding: 'binary' }))
const broker = await Aedes.createBroker({ id: 'squall', persistence: store })
const server = createServer(broker.handle)
server.on('error', (error) => { console.error(error); process.exit(1) })
server.listen(Number(port), host)
process.on('SIGTERM', () => broker.close(() => server.close(() => process.exit(0))))
