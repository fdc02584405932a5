"""The names the corpus is made of: for each class a list to train on, and one that training never sees.

Written out by hand and split by hand, so that a reader can check it: no *word* of a held-out name is a word of the
training split. Real ports, flags, species and gear; invented vessels and masters. Not a gazetteer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one class."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def _list(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in " ".join(text.split()).split(","))


def _compounds(first: str, second: str) -> tuple[str, ...]:
    """Every first part joined to every second: ``Nord`` and ``lys`` give ``Nordlys``."""
    return tuple(a + b for a, b in product(first.split(), second.split()))


def _pairs(first: str, second: str) -> tuple[str, ...]:
    return tuple(f"{a} {b}" for a, b in product(first.split(), second.split()))


VESSELS = Names(
    train=(
        *_compounds(
            "Hav Sol Fjell Storm Grim Bjorn Vest Stål Fisk Ran", "bris kongen borg fangst dronning skjer tind bas"
        ),
        *_pairs("Ocean Atlantic Silver Northern Brave Polar", "Harvester Star Pioneer Venture Queen Spirit"),
        *_pairs("Anna Maria Ingrid Carmen", "Elena Sofia Teresa"),
        *_list(
            "Gargano, Kestrel, Aurelia, Tempest, Monteiro, Cygnus, Halcyon, Valkyrie, Estrela, Zephyr, Ondina, Caspian"
        ),
    ),
    held_out=(
        *_compounds("Nord Øst Eld Varg Myr", "lys vær hauk ternen"),
        *_pairs("Baltic Crimson Southern", "Explorer Pearl Guardian"),
        *_pairs("Marta Helga", "Lucia Johanne"),
        *_list("Albatros, Meridian, Rosario, Pegasus, Solvang, Tirreno, Corvina, Quimera"),
    ),
)

PORTS = Names(
    train=_list(
        """Bergen, Alesund, Bodo, Hammerfest, Kirkenes, Svolvaer, Egersund, Reykjavik, Akureyri, Grindavik, Torshavn,
        Klaksvik, Peterhead, Aberdeen, Lerwick, Fraserburgh, Grimsby, Hull, Newlyn, Brixham, Skagen, Esbjerg, Hirtshals,
        Hanstholm, Thyboron, Cuxhaven, Bremerhaven, Ijmuiden, Scheveningen, Urk, Zeebrugge, Oostende, Boulogne, Lorient,
        Concarneau, Vigo, Marin, Burela, Peniche, Matosinhos, Dakar, Nouadhibou, Walvis Bay, Luanda, Manta, Callao,
        Paita, Iquique, Ushuaia, Mar del Plata, Busan, Kaohsiung, Shimizu, Yaizu, Dutch Harbor, Kodiak, Seattle, Halifax,
        Lunenburg, Nuuk"""
    ),
    held_out=_list(
        """Tromso, Vardo, Honningsvag, Kristiansund, Husavik, Vestmannaeyjar, Ullapool, Kinlochbervie, Killybegs,
        Castletownbere, Stornoway, Ostende, Douarnenez, Ondarroa, Getaria, Gdynia, Klaipeda, Liepaja, Abidjan, Mombasa,
        Chimbote, Talcahuano, Majuro, Pohnpei, Zamboanga, Hobart, Sisimiut"""
    ),
)

FLAGS = Names(
    train=_list(
        """Iceland, Denmark, Faroe Islands, Greenland, Sweden, Finland, Scotland, Ireland, France, Spain, Portugal,
        Belgium, Netherlands, Germany, Poland, Latvia, Russia, Canada, Panama, Liberia, Marshall Islands, Belize,
        Senegal, Mauritania, Namibia, Ghana, Peru, Ecuador, Argentina, Uruguay, Japan, China, Taiwan, Vietnam, Thailand,
        Indonesia, Vanuatu, Kiribati, New Zealand, Papua New Guinea"""
    ),
    held_out=_list(
        """Norway, Estonia, Lithuania, Italy, Malta, Cyprus, Bahamas, Chile, Morocco, Angola, South Africa, South Korea,
        Philippines, Tuvalu, Seychelles, Sierra Leone"""
    ),
)

SPECIES = Names(
    train=_list(
        """haddock, saithe, herring, mackerel, horse mackerel, capelin, blue whiting, whiting, halibut, Greenland halibut,
        plaice, sole, turbot, redfish, ling, tusk, monkfish, hake, sardines, anchovy, sprat, skipjack tuna, yellowfin tuna,
        bigeye tuna, swordfish, blue shark, squid, king crab, snow crab, lobster, langoustine, northern shrimp, scallops,
        mussels, sea bass, sea bream"""
    ),
    held_out=_list(
        """cod, pollock, wolffish, sandeel, lumpfish, albacore, bluefin, marlin, cuttlefish, octopus, krill, prawns,
        cockles, dogfish, john dory, red mullet, orange roughy, toothfish"""
    ),
)

GEAR = Names(
    train=_list(
        """bottom trawl, pelagic trawl, beam trawl, otter trawl, midwater trawl, pair trawl, shrimp trawl, purse seine,
        Danish seine, beach seine, longlines, drifting longlines, set longlines, gillnets, drift gillnets, set gillnets,
        pots, crab pots, lobster pots, traps, cast net, lift net, ring net, trolling rods"""
    ),
    held_out=_list(
        """handlines, creels, dredges, hydraulic dredges, jigs, automatic jigs, trammels, fykes, fyke hoops, harpoons,
        stow bags, snurrevad"""
    ),
)

# Masters and owners: names that are no entity, so that a capital letter alone decides nothing.
PEOPLE = Names(
    train=_list(
        "Hansen, Olsen, Jonsdottir, Macleod, Buchan, Garcia, Fernandes, Le Goff, Petersen, Visser, Okafor, Tanaka"
    ),
    held_out=_list("Larsen, Eriksen, Gunnarsson, Sinclair, Moreno, Kowalski, Mensah, Nakamura"),
)

BY_CLASS = {"VESSEL": VESSELS, "PORT": PORTS, "FLAG": FLAGS, "SPECIES": SPECIES, "GEAR": GEAR}
