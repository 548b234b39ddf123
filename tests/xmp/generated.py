"""Sidecars as programs write them, and as none does but XML allows: drawn from a seed, each another."""

import random
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

XMP, RDF = "http://ns.adobe.com/xap/1.0/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SPACES = (
    ("darktable", "http://darktable.sf.net/"), ("crs", "http://ns.adobe.com/camera-raw-settings/1.0/"),
    ("digiKam", "http://www.digikam.org/ns/1.0/"), ("dc", "http://purl.org/dc/elements/1.1/"), ("q", "urn:x:own/"),
    ("aes", "http://example.org/somebody-else/"),
)  # fmt: skip
WORDS = ("2024-05-01T10:00:00", "Köln & <Umgebung>", 'it\'s "quoted"', "日本語", "x" * 300, "", "a > b", "&#x41;", "-1")


@dataclass(frozen=True)
class Sidecar:
    """`rating` is what it says, None where it says nothing; 0 is no rating."""

    data: bytes
    rating: int | None


def draw(seed: int) -> Sidecar:
    chance = random.Random(seed)
    line = chance.choice(["\n", "\r\n", "\n   "])
    rating = chance.choice([None, None, 0, 0, 3])
    spaces = chance.sample(SPACES, chance.randint(1, len(SPACES)))
    name = chance.choice(["xmp", "xap", "x1"])
    rdf = chance.choice(["rdf"] * 5 + ["r"])
    nodes = chance.randint(0, 3) or (1 if rating is not None else chance.randint(0, 1))
    place = chance.randrange(nodes) if nodes else 0
    written = [_node(chance, (line, rdf, name), spaces, rating if at == place else None, at) for at in range(nodes)]
    declared = f' xmlns:{name}="{XMP}"' + "".join(f' xmlns:{prefix}="{space}"' for prefix, space in spaces)
    comment = f"<!-- xmp:Rating='5' & > {seed} -->{line}"
    body = f'<{rdf}:RDF xmlns:{rdf}="{RDF}"{declared}>{line}{comment}{line.join(written)}{line}</{rdf}:RDF>'
    if not nodes and chance.random() < 0.5:
        body = f'<{rdf}:RDF xmlns:{rdf}="{RDF}"/>'
    if chance.random() < 0.8 or rdf != "rdf":  # exiftool knows a bare rdf:RDF by its prefix alone
        body = f"<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk=\"some > tool\">{line}{body}{line}</x:xmpmeta>"
    if chance.random() < 0.5:
        padding = f"{line}{' ' * 200}{line}"
        body = f"<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>{line}{body}{padding}<?xpacket end='w'?>"
    elif chance.random() < 0.5:
        body = f'<?xml version="1.0" encoding="UTF-8"?>{line}{body}'
    mark = b"\xef\xbb\xbf" if chance.random() < 0.2 else b""
    return Sidecar(mark + body.encode(), rating)


def _node(
    chance: random.Random, words: tuple[str, str, str], spaces: list[tuple[str, str]], rating: int | None, node: int
) -> str:
    line, rdf, name = words
    attributes, elements = [f'{rdf}:about=""'], []
    for prefix, _ in spaces:
        for at in range(chance.randint(0, 2)):
            word = chance.choice(WORDS)
            if chance.random() < 0.5:
                attributes.append(f"{prefix}:P{node}{at}{chance.choice(['=', ' = '])}{quoteattr(word)}")
            else:
                elements.append(_element(chance, rdf, name, f"{prefix}:P{node}{at}", word))
    attributes = list({each.partition("=")[0].strip(): each for each in attributes}.values())
    if rating is not None and chance.random() < 0.5:
        quote = chance.choice("\"'")
        attributes.append(f"{name}:Rating={quote}{rating}{quote}")
    elif rating is not None:
        elements.append(f"<{name}:Rating>{rating}</{name}:Rating>")
    chance.shuffle(attributes)
    chance.shuffle(elements)
    start = f"<{rdf}:Description {chance.choice([' ', line + '  ']).join(attributes)}"
    if not elements and chance.random() < 0.5:
        return f"{start}{chance.choice(['/>', ' />'])}"
    return f"{start}>{line}{line.join(elements)}{line}</{rdf}:Description>"


def _element(chance: random.Random, rdf: str, name: str, tag: str, word: str) -> str:
    text = chance.choice([escape(word), f"<![CDATA[{word}]]>"])
    match chance.randrange(4):
        case 0:
            return f"<{tag}>{text}</{tag}>"
        case 1:
            return f"<{tag}><{rdf}:Seq><{rdf}:li>{text}</{rdf}:li><{rdf}:li {name}:Rating='1'/></{rdf}:Seq></{tag}>"
        case 2:  # a structure that has a rating of its own: another picture's
            inner = f"<{rdf}:Description><{name}:Rating>2</{name}:Rating></{rdf}:Description>"
            return f"<{tag}>{inner}</{tag}>"
        case _:
            return f"<{tag} {rdf}:parseType='Resource'><{name}:Label>Red</{name}:Label></{tag}><!-- {tag} -->"
