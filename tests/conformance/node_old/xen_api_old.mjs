// The npm package xen-api as it was in 2018: everything by event.from, without a first look at every class.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import xenApi from 'xen-api'
import { check, done, input } from './talk.mjs'

const MIB = 1024 * 1024
const PIECE = 64 * 1024

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
process.removeAllListeners('warning')
process.on('warning', () => {}) // of the line above, and of what Node has deprecated since

const settings = await input()
const xapi = xenApi.createClient({
  allowUnauthorized: true,
  auth: { user: 'root', password: settings.password },
  url: settings.url,
})
const all = type => Object.values(xapi.objects.all).filter(object => object.$type === type)
const named = (type, name) => all(type).find(object => object.name_label === name)
const reference = text => /OpaqueRef:[0-9a-f-]+/.exec(text)[0]

// A piece at a time: this client cuts the connection as soon as it has written the last one.
function slowly(size, byte) {
  let left = size
  const stream = new Readable({
    highWaterMark: PIECE,
    read() {
      const count = Math.min(PIECE, left)
      left -= count
      setTimeout(() => stream.push(count ? Buffer.alloc(count, byte) : null), left === 0 ? 100 : 1)
    },
  })
  stream.length = size
  return stream
}

await check('its cache is what get_all_records says', async () => {
  await xapi.connect()
  await xapi.objectsFetched
  for (const [type, records] of [
    ['vm', await xapi.call('VM.get_all_records')],
    ['console', await xapi.call('console.get_all_records')],
  ]) {
    assert.deepEqual(all(type).map(object => object.$ref).sort(), Object.keys(records).sort())
  }
  assert.equal(xapi.pool.$master.$type, 'host')
})

const vm = named('vm', 'db')

await check('a change is in its cache after a barrier', async () => {
  await xapi.call('VM.set_name_description', vm.$ref, 'changed')
  await xapi.barrier()
  assert.equal(xapi.getObject(vm.$ref).name_description, 'changed')
})

await check('a call of its own task ends with a result', async () => {
  const clone = reference(await xapi.callAsync('VM.clone', vm.$ref, 'clone'))
  assert.equal(await xapi.call('VM.get_name_label', clone), 'clone')
})

await check('a failure has its code and its parameters', async () => {
  await assert.rejects(xapi.call('VM.get_record', 'OpaqueRef:none'), error => {
    assert.deepEqual([error.code, error.params], ['HANDLE_INVALID', ['VM', 'OpaqueRef:none']])
    return true
  })
})

await check('a disk that it imports is the disk that it exports', async () => {
  const { $ref: vdi } = vm.$VBDs.find(vbd => vbd.type === 'Disk').$VDI
  const query = { format: 'raw', vdi }
  const result = await xapi.putResource(slowly(8 * MIB, 7), '/import_raw_vdi/', {
    query,
    task: xapi.createTask('import'),
  })
  assert.equal(reference(result), vdi)
  const answer = await xapi.getResource('/export_raw_vdi/', { query, task: xapi.createTask('export') })
  assert.ok((await buffer(answer)).equals(Buffer.alloc(8 * MIB, 7)))
})

await check('it leaves', () => xapi.disconnect())
done()
