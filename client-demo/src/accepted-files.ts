import type { Formats, MediaKind, Reason } from './contract.ts'
import { formatBeside, formatByteLimit } from './format.ts'

/** Why the server would refuse this file by its name, type or size; null when it may be tried. Saves the trip. */
export function refusalOf(
  file: Pick<File, 'name' | 'type' | 'size'>,
  formats: Formats | null,
): Reason | null {
  if (formats === null) return null
  if (!isAccepted(file, formats)) {
    return {
      code: 'type-not-allowed',
      detail: `This kind of file is not accepted. Try ${listTypes(formats)}.`,
    }
  }
  if (file.size > formats.maxSize) {
    return {
      code: 'too-large',
      detail: `This file has ${formatBeside(file.size, formats.maxSize)}; the limit is ${formatByteLimit(formats.maxSize)}.`,
    }
  }
  if (file.size < formats.minSize) {
    return {
      code: 'too-small',
      detail: `This file has only ${formatBeside(file.size, formats.minSize)}; the least is ${formatByteLimit(formats.minSize)}.`,
    }
  }
  return null
}

/** Where other types are accepted the server decides. Either the type or the extension will do: browsers know no type for some (mkv). The server looks at the bytes. */
function isAccepted(file: Pick<File, 'name' | 'type'>, formats: Formats): boolean {
  const extension = extensionOf(file.name)
  if (formats.others.length > 0) return true
  return formats.types.some(
    (type) =>
      type.contentType === file.type.toLowerCase() || type.extensions.some((e) => bare(e) === extension),
  )
}

export function kindOf(file: Pick<File, 'name' | 'type'>, formats: Formats | null): MediaKind | null {
  const extension = extensionOf(file.name)
  const known = formats?.types.find((type) => type.extensions.some((e) => bare(e) === extension))
  if (known !== undefined) return known.kind
  const family = file.type.split('/')[0]
  return family === 'video' || family === 'image' || family === 'audio' ? family : null
}

/** For the file input's `accept`: empty for any file. */
export function acceptOf(formats: Formats): string {
  if (formats.others.length > 0) return ''
  return formats.types.flatMap((t) => [t.contentType, ...t.extensions.map((e) => `.${bare(e)}`)]).join(',')
}

/** `MP4, MOV, WEBM`: the first extension of each type. */
export function listTypes(formats: Formats, kind?: MediaKind): string {
  const names = formats.types
    .filter((type) => kind === undefined || type.kind === kind)
    .map((type) => bare(type.extensions[0] ?? type.contentType).toUpperCase())
  return [...new Set(names)].join(', ')
}

function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.')
  return dot === -1 ? '' : name.slice(dot + 1).toLowerCase()
}

/** The API may write extensions with or without their dot. */
function bare(extension: string): string {
  return extension.replace(/^\./, '').toLowerCase()
}
