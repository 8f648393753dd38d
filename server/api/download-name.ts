import { correctedName, formatOfType, KNOWN } from '../../content/formats.ts'
import { dangerousExtension } from '../../content/names.ts'
import { displayName } from '../../hooks/declaration.ts'
import { Problem } from '../http/errors.ts'

/**
 * The name under which a file is saved, from a name that somebody chose: cleaned as names of uploads are, and with the
 * extension of its type where it has that of another one. Fails with `invalid-request` where nothing is left of it, or
 * where a program would run the file by its name.
 */
export function downloadName(chosen: string, contentType: string | null): string {
  const name = chosen.isWellFormed() ? displayName(chosen) : null
  if (name === null) throw new Problem('invalid-request', 'filename: takes a name that can be shown')
  const format = contentType === null ? undefined : formatOfType(KNOWN, contentType)
  const corrected = format ? (correctedName(name, format) ?? name) : name
  const danger = dangerousExtension(corrected)
  if (format && danger !== undefined)
    throw new Problem(
      'invalid-request',
      `filename: has an extension of executable files (.${danger}), and the file is ${format.contentType}`,
    )
  return corrected
}
