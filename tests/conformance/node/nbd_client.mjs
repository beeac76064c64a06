// The npm package @vates/nbd-client as a client: how Xen Orchestra reads disks. What to connect to comes from
// standard input.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import NbdClient from '@vates/nbd-client'
import MultiNbdClient from '@vates/nbd-client/multi.mjs'
import { createClient } from 'xen-api'
import { check, done, input, order } from './talk.mjs'

const MIB = 1024 * 1024
const BLOCK = 2 * MIB
const REPLY = 16 // the head of a reply
const QUICK = { waitBeforeReconnect: 50, connectTimeout: 10000 }
console.warn = () => {}

const settings = await input()
const HOST = new URL(settings.url).hostname
const xapi = createClient({
  allowUnauthorized: true,
  auth: { user: 'root', password: settings.password },
  eventPollDelay: 50,
  url: settings.url,
})
await xapi.connect()
await xapi.objectsFetched

const sha256 = data => createHash('sha256').update(data).digest('hex')
const find = (type, name) =>
  Object.values(xapi.objects.all).find(object => object.$type === type && object.name_label === name)
const infosOf = ref => xapi.call('VDI.get_nbd_info', ref)

async function* indexes(size) {
  for (let index = 0; index * BLOCK < size; index++) yield index
}
async function readAll(client, size) {
  const reads = []
  for await (const index of indexes(size)) reads.push(client.readBlock(index, BLOCK))
  return Buffer.concat(await Promise.all(reads))
}
async function noneLeft(ref) {
  while ((await xapi.call('VDI.get_VBDs', ref)).length > 0) await xapi.barrier()
}

// Not a multiple of what the client reads at once.
const content = Buffer.concat([randomBytes(5 * MIB), Buffer.alloc(12 * MIB), randomBytes(2 * MIB)])
const disk = await xapi.call('VDI.create', {
  name_label: 'read by NBD',
  SR: find('SR', 'Shared storage').$ref,
  virtual_size: content.length,
  type: 'user',
  sharable: false,
  read_only: false,
  other_config: {},
})
const size = Number(await xapi.call('VDI.get_virtual_size', disk))
const whole = Buffer.concat([content, Buffer.alloc(size - content.length)])
const body = Readable.from([whole], { objectMode: false })
body.length = whole.length
await xapi.putResource(body, '/import_raw_vdi/', { query: { format: 'raw', vdi: disk }, task: true })

let infos
await check('every host of the pool offers a shared disk, with its own certificate', async () => {
  infos = await infosOf(disk)
  assert.deepEqual(new Set(infos.map(info => info.address)).size, 3)
  assert.equal(new Set(infos.map(info => info.cert)).size, 3)
  assert.ok(infos.every(info => info.exportname.startsWith('/') && info.subject !== ''))
})

await check('one connection over TLS reads block by block', async () => {
  const client = new NbdClient(infos[0], QUICK)
  await client.connect()
  assert.equal(Number(client.exportSize), size)
  assert.equal(sha256(await readAll(client, size)), sha256(whole))
  await client.disconnect()
})

await check('a disk that is read is seen attached to a control domain, and is free again afterwards', async () => {
  const client = new NbdClient(infos[1], QUICK)
  await client.connect()
  const [vbd] = await xapi.call('VDI.get_VBDs', disk)
  const record = await xapi.call('VBD.get_record', vbd)
  assert.deepEqual([record.mode, record.currently_attached], ['RO', true])
  assert.equal(await xapi.call('VM.get_is_control_domain', record.VM), true)
  await assert.rejects(xapi.call('VDI.destroy', disk), { code: 'VDI_IN_USE' })
  await client.disconnect()
  await noneLeft(disk)
})

await check('eight connections to whichever hosts read in parallel', async () => {
  const client = new MultiNbdClient(infos, { nbdConcurrency: 8, ...QUICK })
  await client.connect()
  assert.equal(sha256(await readAll(client, size)), sha256(whole))
  await client.disconnect()
  await noneLeft(disk)
})

await check('a snapshot of a running VM is read while the VM runs', async () => {
  const vm = find('VM', 'web')
  const snapshot = await xapi.callAsync('VM.snapshot', vm.$ref, 'for NBD')
  const record = await xapi.barrier(snapshot)
  const [vdi] = record.$VBDs.filter(vbd => vbd.type === 'Disk').map(vbd => vbd.VDI)
  const client = new NbdClient((await infosOf(vdi))[0], QUICK)
  await client.connect()
  assert.equal((await readAll(client, Number(client.exportSize))).length, 8 * MIB)
  await client.disconnect()
})

await check('a name that is none is refused', async () => {
  for (const exportname of ['/nothing', infos[0].exportname.replace(/OpaqueRef:.*/, 'OpaqueRef:expired')]) {
    const client = new NbdClient({ ...infos[0], exportname }, QUICK)
    await assert.rejects(client.connect())
  }
})

// Between two replies, and when all of the first has arrived, since a reset drops what has not been taken yet: a
// reply that is cut in the middle is forgotten by this client, which waits for it for ever.
await check('a connection that is cut is made again, and whatever was asked for comes', async () => {
  const info = infos.find(each => each.address === HOST)
  const { connect } = Socket.prototype
  let connections = 0
  Socket.prototype.connect = function (...args) {
    connections += args[0] === info.port ? 1 : 0
    return connect.apply(this, args)
  }
  const client = new MultiNbdClient([info], { nbdConcurrency: 2, ...QUICK })
  await client.connect()
  await order({ cut: 'host-1', after: 3 * (REPLY + BLOCK) })
  for (const index of [0, 1, 2]) await client.readBlock(index, BLOCK)
  assert.equal(sha256(await readAll(client, size)), sha256(whole))
  await client.disconnect()
  Socket.prototype.connect = connect
  assert.equal(connections, 3)
  await noneLeft(disk)
})

await check('a host that is dead is left out, the others serve', async () => {
  await order({ kill: 'host-3' })
  const client = new MultiNbdClient(infos, { nbdConcurrency: 4, ...QUICK })
  await client.connect()
  assert.equal(sha256(await readAll(client, size)), sha256(whole))
  await client.disconnect()
})

await check('what is read goes on when its session is over', async () => {
  const client = new NbdClient(infos[0], QUICK)
  await client.connect()
  await xapi.disconnect()
  assert.equal(sha256(await readAll(client, size)), sha256(whole))
  await client.disconnect()
})
done()
