import { crc32, deflateRawSync } from 'node:zlib'

/** A zip archive of one deflated file; `before` bytes stand in front of it in the file that it becomes part of. */
export function zipOf(name: string, content: Uint8Array, before = 0, comment = ''): Buffer {
  const packed = deflateRawSync(content)
  const common = Buffer.alloc(26)
  common.writeUInt16LE(20, 0)
  common.writeUInt16LE(8, 4)
  common.writeUInt32LE(crc32(content), 10)
  common.writeUInt32LE(packed.length, 14)
  common.writeUInt32LE(content.length, 18)
  common.writeUInt16LE(name.length, 22)
  const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), packed])
  const entry = Buffer.alloc(14)
  entry.writeUInt32LE(before, 10)
  const directory = Buffer.concat([
    Buffer.from('PK\x01\x02\x14\x00', 'latin1'),
    common,
    entry,
    Buffer.from(name),
  ])
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(1, 8)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(before + local.length, 16)
  end.writeUInt16LE(comment.length, 20)
  return Buffer.concat([local, directory, end, Buffer.from(comment)])
}

/** One whose end record is followed to a ZIP64 record before it, as archives of more than 65,535 files have it. */
export function zip64Of(name: string, content: Uint8Array, before = 0, comment = ''): Buffer {
  const zip = zipOf(name, content, before)
  const end = zip.subarray(-22)
  const directoryEnd = zip.length - 22
  const record = Buffer.alloc(56)
  record.write('PK\x06\x06', 'latin1')
  record.writeBigUInt64LE(44n, 4)
  record.writeBigUInt64LE(65_536n, 24)
  record.writeBigUInt64LE(65_536n, 32)
  record.writeBigUInt64LE(BigInt(end.readUInt32LE(12)), 40)
  record.writeBigUInt64LE(BigInt(end.readUInt32LE(16)), 48)
  const locator = Buffer.alloc(20)
  locator.write('PK\x06\x07', 'latin1')
  locator.writeBigUInt64LE(BigInt(before + directoryEnd), 8)
  locator.writeUInt32LE(1, 16)
  const last = Buffer.from(end)
  last.writeUInt16LE(0xffff, 8)
  last.writeUInt16LE(0xffff, 10)
  last.writeUInt16LE(comment.length, 20)
  return Buffer.concat([zip.subarray(0, directoryEnd), record, locator, last, Buffer.from(comment)])
}
